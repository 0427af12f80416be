package archive

// Option changes how a bundle is opened.
type Option func(*Reader)

// WithTrust lets check decide whether to believe a bundle: it gets the bytes of
// inventory.json, at most bundle.MaxInventory of them, before anything of them is
// parsed, and must neither change nor keep them. The bundle is not opened if check
// returns an error; that error is returned as it is. A nil check believes everything.
func WithTrust(check func(rawInventory []byte) error) Option {
	return func(b *Reader) { b.trust = check }
}
