"""Files of a saved model."""

FILES = {
    "README.md",
    "chat_template.jinja",
    "config.json",
    "conversation.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}
