// The few line icons of the app, drawn on a grid of 24. They are decoration: the control around
// them carries the name.
const PATHS = {
  plus: "M12 5v14M5 12h14",
  compose: "M12 20h8M16.5 4.5a2.1 2.1 0 0 1 3 3L8 19l-4 1 1-4Z",
  sidebar: "M4 5.5h16v13H4zM9.5 5.5v13",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M8 8h8v8H8z",
  attach: "M20 11.5 12.5 19a5 5 0 0 1-7-7l8-8a3.3 3.3 0 0 1 4.7 4.700l-8 8a1.7 1.7 0 0 1-2.4-2.400l7.2-7.2",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M5 12.500l4.5 4.500L19 7.5",
  close: "M6 6l12 12M18 6 6 18",
  edit: "M4 20l1-4L16.5 4.500a2.1 2.1 0 0 1 3 3L8 19Z",
  trash: "M5 7h14M10 7V4.500h4V7M6.5 7l1 13h9l1-13",
  again: "M19.5 12a7.5 7.5 0 1 1-2.2-5.300L20 9.500M20 4.500v5h-5",
  left: "M14.5 6 8.5 12l6 6",
  right: "M9.5 6l6 6-6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  chevron: "M7 10l5 5 5-5",
  settings: "M4 8h7.5M17.5 8H20M4 16h2.5M12.5 16H20M14.5 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M9.5 13.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 3v1.500M12 19.500V21M3 12h1.500M19.5 12H21M5.6 5.600l1.1 1.100M17.3 17.300l1.1 1.100M5.6 18.400l1.1-1.100M17.3 6.700l1.1-1.1",
  moon: "M19.5 14.500A8 8 0 0 1 9.5 4.500a8 8 0 1 0 10 10Z",
  display: "M4 5h16v11H4zM9 20h6M12 16v4",
  leave: "M14 8V5H5v14h9v-3M10 12h10M17 9l3 3-3 3",
  warning: "M12 4 2.8 19.500h18.400ZM12 10v4.500M12 17v.01",
  tool: "M14.5 6.500a4 4 0 0 1 5-2l-2.7 2.7 2 2 2.7-2.700a4 4 0 0 1-5.5 4.800L8.5 19a2 2 0 0 1-3-3l7.5-7.500a4 4 0 0 1 1.5-2Z",
  play: "M8 5.500v13l10-6.500Z",
  search: "M10.5 5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M15 15l5 5",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The mark of Parley: two voices, one conversation. */
export function Mark({ size = 24 }: { size?: number }) {
  return (
    <svg class="mark" width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <path class="mark-far" d="M13 4h9a7 7 0 0 1 7 7v3a7 7 0 0 1-7 7h-.500v4.500L17 21h-4a7 7 0 0 1-7-7v-3a7 7 0 0 1 7-7Z" />
      <path class="mark-near" d="M9 11h7a6 6 0 0 1 6 6v1a6 6 0 0 1-6 6h-4.500L8 28v-4.100A6 6 0 0 1 3 18v-1a6 6 0 0 1 6-6Z" />
    </svg>
  );
}
