"""Random input into everything public: the result is finite and of its documented shape, or the error says why not."""
