"""HTTP server for a responder: REST and OpenAI APIs, stored conversations, a policy, a web page and a Telegram bot."""
