"""The pages of a person, whatever organizations they belong to."""
