// Package iso puts more into the Ignition configuration that the ISO of an installation has, and
// tells whether the ISO has room for it. It is pure: documents in, documents out.
package iso

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	ignition "github.com/coreos/ignition/v2/config/v3_2"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// MaxConfig bounds an Ignition configuration that is read, in bytes. One of the agent-based
// installer has some 300 KiB.
const MaxConfig = 16 << 20

var (
	// ErrIgnition is wrapped by errors about what is no Ignition configuration.
	ErrIgnition = errors.New("not an Ignition configuration of version 3.0 to 3.2, as openshift-install writes it")
	// ErrTwice is wrapped where both documents have the same file or unit.
	ErrTwice = errors.New("both configurations have it")
)

// document is an Ignition configuration, of which all but the merged lists stays as it is.
type document map[string]json.RawMessage

// lists are the parts of a configuration that are merged, with the name of what an entry of each
// is known by.
func lists() [][3]string {
	return [][3]string{{"storage", "files", "path"}, {"systemd", "units", "name"}}
}

// Merge returns the configuration have with the files and units of add, which has nothing else.
// The version is that of have. The result is what Ignition
// itself finds valid. Errors wrap ErrIgnition or ErrTwice.
func Merge(have, add []byte) ([]byte, error) {
	to, err := parse(have)
	if err != nil {
		return nil, err
	}
	from, err := parse(add)
	if err != nil {
		return nil, err
	}
	for _, l := range lists() {
		if err := to.take(from, l[0], l[1], l[2]); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // it would make the document longer
	if err := enc.Encode(to); err != nil {
		return nil, fmt.Errorf("writing the Ignition configuration: %w", err)
	}
	if err := valid(out.Bytes()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func parse(data []byte) (document, error) {
	if len(data) > MaxConfig {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrIgnition, MaxConfig)
	}
	if err := valid(data); err != nil {
		return nil, err
	}
	var d document
	if err := jsonbound.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIgnition, err)
	}
	return d, nil
}

// valid asks Ignition.
func valid(data []byte) error {
	_, report, err := ignition.ParseCompatibleVersion(data)
	switch {
	case report.IsFatal():
		return fmt.Errorf("%w: %s", ErrIgnition, report.String())
	case err != nil:
		return fmt.Errorf("%w: %w", ErrIgnition, err)
	}
	return nil
}

// take appends the entries of a list of another document.
func (d document) take(from document, section, list, key string) error {
	mine, entries, err := d.list(section, list)
	if err != nil {
		return err
	}
	_, more, err := from.list(section, list)
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	for i, e := range append(entries, more...) {
		var fields map[string]any
		if err := json.Unmarshal(e, &fields); err != nil {
			return fmt.Errorf("%w: %s.%s: %w", ErrIgnition, section, list, err)
		}
		name, _ := fields[key].(string)
		if i >= len(entries) && seen[name] {
			return fmt.Errorf("%s %s: %w: take the ISO's own configuration, without an earlier run of this command in it", list, name, ErrTwice)
		}
		seen[name] = true
	}
	if len(more) == 0 {
		return nil
	}
	if mine[list], err = json.Marshal(append(entries, more...)); err != nil {
		return fmt.Errorf("writing %s: %w", list, err)
	}
	if d[section], err = json.Marshal(mine); err != nil {
		return fmt.Errorf("writing %s: %w", section, err)
	}
	return nil
}

// list returns a section, and the entries of a list in it.
func (d document) list(section, list string) (fields document, entries []json.RawMessage, err error) {
	fields = make(document)
	if raw, ok := d[section]; ok {
		if err := json.Unmarshal(raw, &fields); err != nil {
			return nil, nil, fmt.Errorf("%w: %s: %w", ErrIgnition, section, err)
		}
	}
	if fields == nil { // the section is null
		fields = make(document)
	}
	if raw, ok := fields[list]; ok {
		if err := json.Unmarshal(raw, &entries); err != nil {
			return nil, nil, fmt.Errorf("%w: %s.%s: %w", ErrIgnition, section, list, err)
		}
	}
	return fields, entries, nil
}
