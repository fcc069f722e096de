"""One file per version; never changed once it was released."""
