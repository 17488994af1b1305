"""Tables, figures and sentences of the papers' questions, a room for each question."""
