"""Google's generateContent, as the Gemini API and Vertex speak it."""
