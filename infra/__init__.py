"""What mendloop stands on."""
