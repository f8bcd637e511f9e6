/** Names that the page and its service worker share. */
export const SHARED_CACHE = "lapel-shared"; // holds a picture that another app shared, until the page takes it
export const SHARED = "/m/shared";
export const THUMBNAILS_CACHE = "lapel-thumbnails";
export const SHELL_PREFIX = "lapel-shell-";
