"""Pictures of analyses, in the look of the tables' pictures; each is drawn within `canvas.publishable`."""
