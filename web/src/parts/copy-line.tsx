import { ActionIcon, Code, CopyButton, Group, Tooltip } from '@mantine/core';
import classes from './parts.module.css';

/** A command to copy: one line, one button. */
export function CopyLine({ text, label }: { readonly text: string; readonly label: string }) {
  return (
    <Group gap={0} wrap="nowrap" className={classes['copyLine'] ?? ''}>
      <Code className={classes['copyText'] ?? ''}>{text}</Code>
      <CopyButton value={text} timeout={1500}>
        {({ copied, copy }) => (
          <Tooltip label={copied ? 'Copied' : 'Copy'} withArrow>
            <ActionIcon
              variant="subtle"
              color={copied ? 'teal' : 'gray'}
              onClick={copy}
              aria-label={`Copy ${label}`}
            >
              <CopyIcon done={copied} />
            </ActionIcon>
          </Tooltip>
        )}
      </CopyButton>
    </Group>
  );
}

function CopyIcon({ done }: { readonly done: boolean }) {
  return (
    <svg
      width="16"
      height="16"
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      aria-hidden="true"
    >
      {done ? (
        <path d="m3 8.500 3.500 3.500L13 4.500" />
      ) : (
        <path d="M5.500 5.500V3.200h7.300v7.300h-2.300M3.200 5.500h7.300v7.300H3.200z" />
      )}
    </svg>
  );
}
