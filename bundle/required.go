package bundle

import (
	"encoding/json"
	"fmt"
)

// The types of an inventory that stand in it by the thousand refuse, while they are read, what
// lacks a field that Validate requires: a short text does not become many of them. A missing
// field is an ErrInventory of ParseInventory.

// UnmarshalJSON implements json.Unmarshaler.
func (img *Image) UnmarshalJSON(data []byte) error {
	type plain Image
	if err := json.Unmarshal(data, (*plain)(img)); err != nil {
		return err
	}
	switch {
	case img.Ref == "":
		return fmt.Errorf("image without %q", "ref")
	case img.Digest == "" || img.Config.Digest == "":
		return fmt.Errorf("image %.200s: digest or config is missing", img.Ref)
	}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Layer) UnmarshalJSON(data []byte) error {
	type plain Layer
	if err := json.Unmarshal(data, (*plain)(l)); err != nil {
		return err
	}
	if l.Digest == "" || l.DiffID == "" {
		return fmt.Errorf("layer %.200s: digest or diffID is missing", l.Digest)
	}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *Blob) UnmarshalJSON(data []byte) error {
	type plain Blob
	if err := json.Unmarshal(data, (*plain)(b)); err != nil {
		return err
	}
	if b.Digest == "" || b.Kind == "" {
		return fmt.Errorf("blob %.200s: digest or kind is missing", b.Digest)
	}
	return nil
}
