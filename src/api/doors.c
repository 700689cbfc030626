/* The doors that programs know already: the paths of OpenAI, Anthropic, Gemini and Ollama, each in
 * its own dialect, to every model. */
#include "api/completion.h"

#define EVENT_STREAM "text/event-stream"

static const struct completion_form openai_chat = {&dialect_openai_chat, EVENT_STREAM, NULL};

void api_openai_chat(struct api_request *request)
{
    completion_start(request, &openai_chat);
}
