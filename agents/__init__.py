"""Know-how: five specialists and the contract of their tools."""
