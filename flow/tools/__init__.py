"""One small module per external tool."""
