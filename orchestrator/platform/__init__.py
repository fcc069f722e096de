"""The platform that mendloop runs on: its document, and what is put together from it."""
