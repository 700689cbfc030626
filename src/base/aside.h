/* Aside: copying what nobody reads again soon. Pure. */
#pragma once

#include <stddef.h>

/* As memcpy, past the processor's caches where that can be: what is put away for long neither waits for
 * its old bytes to be fetched nor pushes out what is in use. Other threads see it after any
 * synchronisation. Short ones are copied as usual. */
void copy_aside(void *to, const void *from, size_t size);
