"""Messages of Telegram in, replies of a convmodel server out."""
