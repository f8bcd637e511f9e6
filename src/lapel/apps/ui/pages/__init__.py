"""The pages, one file each: Streamlit runs them, see :data:`lapel.apps.ui.page_table.PAGES`."""
