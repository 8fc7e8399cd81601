"""The bundled `toy-grammar`, made anew: its sentences, its training, its dictionaries, and what is known of it."""
