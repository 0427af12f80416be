// Package slot keeps the two stores of a node: a and b below one root. Both are
// configured once and both are always valid stores, empty ones at first, so that
// a new release changes no configuration and restarts nothing.
//
// A slot is never written in place. What it is to hold is made in the hidden
// directory .work beside it and exchanged with it in one step
// (renameat2(RENAME_EXCHANGE)): whoever opens a slot at any moment, also after a
// power cut, finds the whole old store or the whole new one.
//
// A store may be one file, an image. Then the slot is an empty store below it, at
// which the image is mounted: what is whole is mounted, else the slot is empty.
//
//	ROOT/a, ROOT/b    the slots
//	ROOT/a.erofs, ROOT/a.erofs.sha256
//	                  the image of a slot, and its digest (internal/store/image)
//	ROOT/.work/       locked while a command changes a slot
//	  new-NAME        a finished store that waits for its exchange
//	  .new-NAME.partial  one in the making (internal/store/dir)
//	  swap-NAME       in the exchange; afterwards what the slot held before
//	  new-NAME.erofs, .new-NAME.erofs.partial, swap-NAME.erofs
//	                  the same of images
//	  retire-NAME     the empty store of retire; afterwards what the slot held, until
//	                  it is sure that nothing needs it; so retire-NAME.erofs
//	  kept-NAME-ID    an old store that running containers still read
//	  *.gone          one that is being removed
//	ROOT/state.json   when slots were filled and verified, and with which images of a bundle
package slot
