"""Pictures and videos: what clients ask for, and the same way as a chat's for what can be answered at once.

``requests`` reads both shapes, flat (OpenAI's) and DashScope's; ``dialects`` speaks to providers of both
kinds; ``images`` carries a request to its pictures.
"""
