package nodeconfig

// Storage is what a storage.conf says about where images are.
type Storage struct {
	// GraphRoot and RunRoot are the primary store's, ImageStore the directory of
	// its images where that is another one.
	GraphRoot, RunRoot, ImageStore string
	// Stores are the additional image stores, in the order in which they are
	// asked.
	Stores []string
}

// ReadStorage reads a storage.conf. What it does not say has the defaults of
// the storage library. Errors wrap ErrStorageConf.
func ReadStorage(text []byte) (Storage, error) {
	conf, err := decode(text)
	if err != nil {
		return Storage{}, err
	}
	var s Storage
	for key, dir := range map[string]*string{"graphroot": &s.GraphRoot, "runroot": &s.RunRoot, "imagestore": &s.ImageStore} {
		if *dir, err = conf.dir(key); err != nil {
			return Storage{}, err
		}
	}
	values, err := conf.stores()
	if err != nil {
		return Storage{}, err
	}
	for _, v := range values {
		if path, ok := v.(string); ok {
			s.Stores = append(s.Stores, path)
		}
	}
	return s, nil
}
