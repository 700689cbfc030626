/* Foreign: one list of names. */
#include "llm/foreign.h"

static const struct str names[] = {
    STR_INIT("api_base"),
    STR_INIT("base_url"),
    STR_INIT("api_host"),
    STR_INIT("api_key"),
    STR_INIT("azure_endpoint"),
    STR_INIT("azure_ad_token"),
    STR_INIT("azure_ad_token_provider"),
    STR_INIT("aws_access_key_id"),
    STR_INIT("aws_secret_access_key"),
    STR_INIT("aws_session_token"),
    STR_INIT("aws_bedrock_runtime_endpoint"),
    STR_INIT("aws_sts_endpoint"),
    STR_INIT("aws_web_identity_token"),
    STR_INIT("aws_role_name"),
    STR_INIT("aws_profile_name"),
    STR_INIT("vertex_credentials"),
    STR_INIT("vertex_ai_credentials"),
    STR_INIT("litellm_credential_name"),
    STR_INIT("litellm_params"),
    STR_INIT("user_config"),
    STR_INIT("client_secret"),
    STR_INIT("extra_headers"),
    STR_INIT("default_headers"),
};

/* Also in other cases of its letters: some readers do not tell them apart. */
bool llm_is_redirection(struct str key)
{
    char first = key.len ? key.data[0] | 0x20 : '\0'; /* most keys begin like none of them */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (first == names[i].data[0] && str_eq_nocase(key, names[i]))
            return true;
    return false;
}

enum err llm_refuse_redirection(struct str name, struct error *error)
{
    char field[64];
    str_copy(name, field, sizeof field);
    return error_set(error, ERR_INVALID, field,
                     "is refused: where a request goes and who signs it is Parley's matter");
}

enum err llm_refuse_redirections(yyjson_val *root, struct error *error)
{
    size_t index, count;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(root))
        return ERR_OK;
    yyjson_obj_foreach (root, index, count, key, value) {
        struct str name = json_str(key);
        if (llm_is_redirection(name))
            return llm_refuse_redirection(name, error);
    }
    return ERR_OK;
}
