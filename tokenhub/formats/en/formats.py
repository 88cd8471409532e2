"""As the console spells them, and with the zone: what is stored and shown is UTC."""

DATE_FORMAT = "j M Y"
DATETIME_FORMAT = r"j M Y H:i \U\T\C"
