"""The command ``mendloop simulate``; what it does lives outside this folder."""
