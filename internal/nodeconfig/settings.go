package nodeconfig

import (
	"fmt"
	"path"
	"reflect"
	"strings"

	"github.com/nodeseal/nodeseal/internal/tomlbound"
)

// The path of the setting with the additional stores.
const (
	keyStorage = "storage"
	keyOptions = "options"
	keyStores  = "additionalimagestores"
)

// Settings of [storage].
const (
	keyDriver     = "driver"
	keyRunRoot    = "runroot"
	keyGraphRoot  = "graphroot"
	keyImageStore = "imagestore"
)

func storesKey() []string { return []string{keyStorage, keyOptions, keyStores} }

// settings is a storage.conf as its readers see it: with their TOML library, and
// with keys in any case, as that library matches them to their types.
type settings struct {
	root map[string]any
}

func decode(text []byte) (*settings, error) {
	s := &settings{root: make(map[string]any)}
	if err := tomlbound.Unmarshal(text, &s.root); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorageConf, err)
	}
	return s, nil
}

// lookup follows keys down from the root. It returns the table that holds the
// last one, the key as it is written, and the value; a nil table where any of
// them is missing.
func (s *settings) lookup(keys ...string) (table map[string]any, name string, value any, err error) {
	table = s.root
	for i, key := range keys {
		found := 0
		for k, v := range table {
			if strings.EqualFold(k, key) {
				name, value = k, v
				found++
			}
		}
		at := strings.Join(keys[:i+1], ".")
		if found > 1 {
			return nil, "", nil, fmt.Errorf("%w: %s is there twice, in different case", ErrStorageConf, at)
		}
		if found == 0 {
			return nil, "", nil, nil
		}
		if i == len(keys)-1 {
			break
		}
		below, ok := value.(map[string]any)
		if !ok {
			return nil, "", nil, fmt.Errorf("%w: %s is not a table", ErrStorageConf, at)
		}
		table = below
	}
	return table, name, value, nil
}

// stores returns the elements of additionalimagestores. Besides paths there may
// be tables like {append = true}.
func (s *settings) stores() ([]any, error) {
	_, _, value, err := s.lookup(storesKey()...)
	if err != nil || value == nil {
		return nil, err
	}
	list, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: %s is not a list", ErrStorageConf, strings.Join(storesKey(), "."))
	}
	for _, e := range list {
		_, isPath := e.(string)
		if _, isTable := e.(map[string]any); !isPath && !isTable {
			return nil, fmt.Errorf("%w: %s holds a %T", ErrStorageConf, strings.Join(storesKey(), "."), e)
		}
	}
	return list, nil
}

// dir returns a directory of [storage], clean; empty where it is not set.
func (s *settings) dir(key string) (string, error) {
	dir, _, err := s.text(key)
	if err != nil {
		return "", err
	}
	if dir == "" && key == keyGraphRoot {
		dir = defaultGraphRoot
	}
	if dir == "" {
		return "", nil
	}
	return path.Clean(dir), nil
}

// text returns a string of [storage], and whether it is set.
func (s *settings) text(key string) (value string, set bool, err error) {
	_, _, v, err := s.lookup(keyStorage, key)
	if err != nil || v == nil {
		return "", false, err
	}
	value, ok := v.(string)
	if !ok {
		return "", false, fmt.Errorf("%w: storage.%s is not a string", ErrStorageConf, key)
	}
	return value, true, nil
}

// verify reports an error unless after is s with added at the end of its
// additional stores and nothing else changed. It takes both apart.
func (s *settings) verify(after *settings, added []string) error {
	want, err := s.stores()
	if err != nil {
		return err
	}
	for _, store := range added {
		want = append(want, store)
	}
	got, err := after.stores()
	if err != nil {
		return err
	}
	s.dropStores()
	after.dropStores()
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(s.root, after.root) {
		return fmt.Errorf("%w: the stores could not be added without changing something else", ErrStorageConf)
	}
	return nil
}

// dropStores removes the setting, and the tables that it was alone in.
func (s *settings) dropStores() {
	for n := len(storesKey()); n > 0; n-- {
		table, name, value, err := s.lookup(storesKey()[:n]...)
		if err != nil || table == nil {
			continue
		}
		if below, isTable := value.(map[string]any); n == len(storesKey()) || isTable && len(below) == 0 {
			delete(table, name)
		}
	}
}
