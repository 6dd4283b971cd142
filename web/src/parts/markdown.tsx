import { Typography } from '@mantine/core';
import ReactMarkdown from 'react-markdown';
import classes from './parts.module.css';

/** Markdown as React elements: raw HTML stays text, and links lead to http(s) only. */
export function Markdown({ text }: { readonly text: string }) {
  return (
    <Typography className={classes['markdown'] ?? ''}>
      <ReactMarkdown
        disallowedElements={['img']}
        unwrapDisallowed
        urlTransform={(url) => (/^https?:\/\//i.test(url) ? url : '')}
        components={{
          pre: ({ children }) => (
            // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls sideways, also by keyboard
            <pre tabIndex={0}>{children}</pre>
          ),
          a: ({ href, children }) =>
            href ? (
              <a href={href} rel="noopener noreferrer nofollow" target="_blank">
                {children}
              </a>
            ) : (
              <span>{children}</span>
            ),
        }}
      >
        {text}
      </ReactMarkdown>
    </Typography>
  );
}
