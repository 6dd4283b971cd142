import { ActionIcon, Code, Group, Tooltip, VisuallyHidden } from '@mantine/core';
import { useEffect, useState } from 'react';
import classes from './parts.module.css';

const COPIED_MS = 1500;

/** A command to copy: one line, one button. */
export function CopyLine({ text, label }: { readonly text: string; readonly label: string }) {
  return (
    <Group gap={0} wrap="nowrap" className={classes['copyLine'] ?? ''}>
      {/* It scrolls sideways, also by keyboard. */}
      <Code className={classes['copyText'] ?? ''} tabIndex={0}>
        {text}
      </Code>
      <CopyButton text={text} label={label} />
    </Group>
  );
}

/** A button that copies; `label` says what, as in "Copy the push command". */
export function CopyButton({ text, label }: { readonly text: string; readonly label: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), COPIED_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <Tooltip label={copied ? 'Copied' : `Copy ${label}`} withArrow>
      <ActionIcon
        variant="subtle"
        color={copied ? 'teal' : 'gray'}
        onClick={() => void copyText(text).then(setCopied)}
        aria-label={`Copy ${label}`}
      >
        <CopyIcon done={copied} />
        <VisuallyHidden role="status">{copied ? 'Copied' : ''}</VisuallyHidden>
      </ActionIcon>
    </Tooltip>
  );
}

/** Browsers give the clipboard to pages over TLS and on this machine only; elsewhere a selection is copied as of old. */
async function copyText(text: string): Promise<boolean> {
  const clipboard = navigator.clipboard as Clipboard | undefined;
  if (clipboard !== undefined) {
    return clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }
  const field = document.createElement('textarea');
  field.value = text;
  field.style.position = 'fixed';
  field.style.opacity = '0';
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand('copy');
  field.remove();
  return isCopied;
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
