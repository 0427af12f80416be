package nodeconfig

import "path"

// Storage is what storage.conf says about where images are.
type Storage struct {
	// Driver is the storage driver, "" if the program is to choose it.
	Driver string
	// GraphRoot and RunRoot are the primary store's, ImageStore the directory of
	// its images where that is another one.
	GraphRoot, RunRoot, ImageStore string
	// Stores are the additional image stores, in the order in which they are
	// asked.
	Stores []string
	// Append says that stores had {append = true}, which programs know that read
	// several files: stores of later files follow those of earlier ones.
	Append bool
}

// ReadStorage reads a storage.conf. What it does not say has the defaults of
// the storage library. Errors wrap ErrStorageConf.
func ReadStorage(text []byte) (Storage, error) {
	var s Storage
	if _, err := s.Apply(text); err != nil {
		return Storage{}, err
	}
	s.Default()
	return s, nil
}

// Apply reads one more file over what s has of earlier ones, as go.podman.io/storage
// reads drop-ins: what the file sets takes the place of what was set. It reports whether
// the file sets additional stores. Errors wrap ErrStorageConf, and leave s as it was.
func (s *Storage) Apply(text []byte) (stores bool, err error) {
	conf, err := decode(text)
	if err != nil {
		return false, err
	}
	next := *s
	for key, dir := range map[string]*string{
		keyDriver: &next.Driver, keyGraphRoot: &next.GraphRoot, keyRunRoot: &next.RunRoot, keyImageStore: &next.ImageStore,
	} {
		value, set, err := conf.text(key)
		if err != nil {
			return false, err
		}
		if set {
			*dir = value
		}
	}
	values, err := conf.stores()
	if err != nil {
		return false, err
	}
	if values != nil {
		next.setStores(values)
	}
	*s = next
	return values != nil, nil
}

// setStores sets, or adds, what a file has.
func (s *Storage) setStores(values []any) {
	var paths []string
	for _, v := range values {
		switch v := v.(type) {
		case string:
			paths = append(paths, v)
		case map[string]any:
			if on, ok := v["append"].(bool); ok {
				s.Append = on
			}
		}
	}
	if s.Append {
		paths = append(s.Stores[:len(s.Stores):len(s.Stores)], paths...)
	}
	s.Stores = paths
}

// Default sets what no file has set to what the library takes then, and cleans paths.
func (s *Storage) Default() {
	if s.GraphRoot == "" {
		s.GraphRoot = defaultGraphRoot
	}
	if s.RunRoot == "" {
		s.RunRoot = defaultRunRoot
	}
	for _, dir := range []*string{&s.GraphRoot, &s.RunRoot, &s.ImageStore} {
		if *dir != "" {
			*dir = path.Clean(*dir)
		}
	}
}

// Unset names the settings without which containers/storage, before it read drop-ins,
// refuses a storage.conf ("runroot must be set").
func (s *Storage) Unset() []string {
	var keys []string
	if s.RunRoot == "" {
		keys = append(keys, keyRunRoot)
	}
	if s.GraphRoot == "" {
		keys = append(keys, keyGraphRoot)
	}
	return keys
}
