/** Small drawings; what they mean is said by the control around them. */

interface IconProps {
  readonly isFilled?: boolean;
}

/** A star, filled when it is given. */
export function StarIcon({ isFilled = false }: IconProps) {
  return (
    <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
      <path
        d="m8 1.800 1.900 3.900 4.300.600-3.100 3 .700 4.300L8 11.600l-3.800 2 .700-4.300-3.100-3 4.300-.600z"
        fill={isFilled ? 'currentColor' : 'none'}
        stroke="currentColor"
        strokeWidth="1.300"
        strokeLinejoin="round"
      />
    </svg>
  );
}

/** A bin. */
export function BinIcon() {
  return (
    <svg
      width="16"
      height="16"
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.400"
      aria-hidden="true"
    >
      <path d="M2.500 4.300h11M6 4.300V2.500h4v1.800M4 4.300l.600 9.200h6.800l.600-9.200M6.700 7v4M9.300 7v4" />
    </svg>
  );
}

/** A lock: what may not move. */
export function LockIcon() {
  return (
    <svg
      width="12"
      height="12"
      viewBox="0 0 12 12"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.300"
      aria-hidden="true"
    >
      <path d="M2.500 5.500h7v4.700h-7zM4 5.500V3.800a2 2 0 0 1 4 0v1.700" />
    </svg>
  );
}
