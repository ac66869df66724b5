"""Any sensor that writes lines of text: a pattern in its profile says where the values stand."""
