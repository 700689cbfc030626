/* The list of assets of a program built without the web app (-Dweb=false). */
#include "api/assets.h"

const struct asset assets[] = {{0}};
