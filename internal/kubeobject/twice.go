package kubeobject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// noneTwice refuses a JSON document with an object that has a key twice. Case is no difference, as for package json.
func noneTwice(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var open []map[string]bool // the keys of the objects around, nil of a list
	isKey := false
	for {
		t, err := dec.Token()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		switch v := t.(type) {
		case json.Delim:
			switch v {
			case '{':
				open = append(open, make(map[string]bool))
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
		case string:
			if isKey {
				key := strings.ToLower(strings.ToUpper(v)) // as package json folds
				if open[len(open)-1][key] {
					return fmt.Errorf("it has %q twice", v)
				}
				open[len(open)-1][key] = true
				isKey = false
				continue
			}
		}
		isKey = len(open) > 0 && open[len(open)-1] != nil
	}
}
