package result

import (
	"io"
)

// Sign is what sign prints.
type Sign struct {
	Bundle    string `json:"bundle"`
	Signature string `json:"signature"`
	// Key is the fingerprint of the public key.
	Key string `json:"key"`
}

// WriteText shows it to people.
func (r Sign) WriteText(w io.Writer) error {
	p := &printer{w: w}
	p.line("OK: %s is signed: %s", r.Bundle, r.Signature)
	p.line("the key's fingerprint: %s", r.Key)
	return p.err
}
