/** Library components that lead to pages of ours. */
import { Anchor, Button } from '@mantine/core';
import { createLink } from '@tanstack/react-router';

/** A link in running text. */
export const LinkAnchor = createLink(Anchor<'a'>);
/** A button that is a link. */
export const LinkButton = createLink(Button<'a'>);
