/** A sheet from below: a modal dialog, closed by its button, by Escape, or by a tap beside it. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./icons";
import type { Texts } from "./texts";

interface Props {
  title: string;
  texts: Texts;
  onClose: () => void;
  children: ComponentChildren;
  actions?: ComponentChildren;
}

export function Sheet({ title, texts, onClose, children, actions }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current!.showModal();
  }, []);
  return (
    <dialog
      ref={dialog}
      class="sheet"
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <div class="inside">
        <header>
          <h2>{title}</h2>
          <button class="round" aria-label={texts.close} onClick={onClose}>
            <Icon name="close" />
          </button>
        </header>
        <div class="content" tabIndex={0}>
          {children}
        </div>
        {actions && <div class="actions">{actions}</div>}
      </div>
    </dialog>
  );
}
