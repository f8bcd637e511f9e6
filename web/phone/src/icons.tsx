/** The page's icons: paths on a canvas of 24 x 24, drawn with the text's colour. */
const PATHS = {
  back: "M15 5l-7 7 7 7",
  camera: "M4 8h3l2-3h6l2 3h3v11H4zM12 10a3.5 3.5 0 100 7 3.5 3.5 0 000-7z",
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01",
  search: "M11 4a7 7 0 100 14 7 7 0 000-14zM16 16l5 5",
  settings: "M4 7h10M18 7h2M4 17h2M10 17h10M14 7a2 2 0 104 0 2 2 0 00-4 0zM6 17a2 2 0 104 0 2 2 0 00-4 0z",
  filter: "M4 6h16M7 12h10M10 18h4",
  share: "M12 15V4M8 7l4-4 4 4M5 12v8h14v-8",
  close: "M6 6l12 12M18 6L6 18",
  crop: "M7 3v14h14M3 7h14v14",
  flip: "M4 10a8 8 0 0114-4l2 2M20 4v4h-4M20 14a8 8 0 01-14 4l-2-2M4 20v-4h4",
  open: "M14 4h6v6M20 4l-9 9M10 5H5v14h14v-5",
};

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
