/* OpenAI Chat Completions (POST /v1/chat/completions) and its many imitators: vLLM, llama.cpp,
 * Groq, Mistral, DeepSeek, OpenRouter, Together, xAI, Azure. One dialect: reading takes what any of
 * them sends, writing follows OpenAI with the deviations of the target's quirks. */
#include "llm/dialect_openai_chat.h"

const struct dialect dialect_openai_chat = {
    .name = "openai_chat",
    .framing = DIALECT_SSE,
    .errors_name_field = true,
    .encode_request = openai_chat_encode_request,
    .decode_request = openai_chat_decode_request,
    .encode_response = openai_chat_encode_response,
    .decode_response = openai_chat_decode_response,
    .decoder_new = openai_chat_decoder_new,
    .decode_frame = openai_chat_decode_frame,
    .decode_end = openai_chat_decode_end,
    .progress = openai_chat_progress,
    .encoder_new = openai_chat_encoder_new,
    .encode_event = openai_chat_encode_event,
    .decode_error = openai_decode_error,
    .encode_error = openai_encode_error,
    .decode_models = openai_decode_models,
};
