import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import type { HubEvent } from '#hub/protocol/index.ts';

/** A restart takes less; nobody needs to be told of it. */
const LOST_MS = 5000;

const CONTENT = ['repositories', 'repository', 'tags', 'image', 'guide'] as const;
/** What may have changed. Of a repository that moved, its page shows what it had; the lists have the new name. */
const KEYS: { readonly [K in HubEvent['kind']]: readonly string[] } = {
  push: CONTENT,
  delete: CONTENT,
  move: ['repositories', 'guide'],
  signin: ['guide'],
};

/**
 * Keeps every open view up to date: what was pushed or deleted elsewhere is asked for again. False while the hub has not
 * been heard of for some seconds.
 */
export function useLiveUpdates(viewer: string | undefined): boolean {
  const [isConnected, setConnected] = useState(true);
  const client = useQueryClient();
  // biome-ignore lint/correctness/useExhaustiveDependencies: another viewer may see other events, so the stream is opened anew
  useEffect(() => {
    const source = new EventSource('/api/events');
    let wasOpen = false;
    let lost: ReturnType<typeof setTimeout> | undefined;
    source.onopen = () => {
      clearTimeout(lost);
      lost = undefined;
      setConnected(true);
      // After a gap nobody knows what was missed.
      if (wasOpen) void client.invalidateQueries();
      wasOpen = true;
    };
    source.onmessage = (message: MessageEvent<string>) => {
      const event = JSON.parse(message.data) as HubEvent;
      for (const key of KEYS[event.kind]) void client.invalidateQueries({ queryKey: [key] });
    };
    source.onerror = () => {
      lost ??= setTimeout(() => setConnected(false), LOST_MS);
    };
    return () => {
      clearTimeout(lost);
      source.close();
    };
  }, [client, viewer]);
  return isConnected;
}
