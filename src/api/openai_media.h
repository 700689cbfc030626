/* OpenAI's media doors, for those of its families that begin alike. */
#pragma once

#include "api/media.h"
#include "api/relay_door.h"

/* One endpoint. */
struct media_form {
    const char *path; /* behind the provider's base URL */
    enum media_operation operation;
    bool is_form;                                  /* multipart, else JSON */
    bool is_once;                                  /* never sent twice: it makes something */
    void (*on_whole)(void *user, struct str body); /* of relay_door; or NULL */
};

/* Hands the request to who has the model that its body names. */
void media_start(struct api_request *request, const struct media_form *form);
