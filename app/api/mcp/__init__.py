"""MCP: searching, reading and asking as tools of coding assistants and other clients of the Model Context Protocol."""
