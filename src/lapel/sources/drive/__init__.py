"""Google Drive: ``account`` asks it patiently, ``source`` walks a folder, ``upload`` puts photos there."""
