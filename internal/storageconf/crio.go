package storageconf

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/tomlbound"
)

// Where CRI-O has its own configuration.
const (
	crioConf    = "/etc/crio/crio.conf"
	crioDropIns = "/etc/crio/crio.conf.d"
)

// crioFile is what a file of CRI-O says about storage.
type crioFile struct {
	Crio struct {
		Root       string   `toml:"root"`
		RunRoot    string   `toml:"runroot"`
		ImageStore string   `toml:"imagestore"`
		Driver     string   `toml:"storage_driver"`
		Options    []string `toml:"storage_option"`
	} `toml:"crio"`
}

// crio reads CRI-O's own files over what storage.conf says: directories take the place of
// those, stores are added.
func (o Options) crio(v *View) {
	defer func() { v.Storage.Default() }()
	if v.Err != nil {
		return
	}
	files := []string{o.path(crioConf)}
	err := filepath.WalkDir(o.path(crioDropIns), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.Err, v.ErrAt = err, o.path(crioDropIns)
		return
	}
	for _, path := range files {
		if err := v.addCRIO(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			v.Err, v.ErrAt = err, path
			return
		}
	}
}

// addCRIO reads one file of CRI-O's.
func (v *View) addCRIO(path string) error {
	text, err := read(path)
	if err != nil {
		return err
	}
	var f crioFile
	if err := tomlbound.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("CRI-O cannot read it: %w", err)
	}
	before := v.Storage
	c, s := &f.Crio, &v.Storage
	for _, set := range []struct {
		value string
		to    *string
	}{{c.Root, &s.GraphRoot}, {c.RunRoot, &s.RunRoot}, {c.ImageStore, &s.ImageStore}, {c.Driver, &s.Driver}} {
		if set.value != "" {
			*set.to = set.value
		}
	}
	stores := optionStores(c.Options)
	if len(stores) > 0 {
		v.StoresFrom = path
		s.Stores = slices.Concat(s.Stores, stores)
	}
	if len(stores) > 0 || s.GraphRoot != before.GraphRoot || s.RunRoot != before.RunRoot || s.ImageStore != before.ImageStore || s.Driver != before.Driver {
		v.Files = append(v.Files, path)
	}
	return nil
}

// optionStores returns the additional stores among options of the overlay driver.
func optionStores(options []string) []string {
	var stores []string
	for _, option := range options {
		key, value, _ := strings.Cut(option, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		for _, prefix := range []string{"overlay.", "overlay2.", "."} {
			key = strings.TrimPrefix(key, prefix)
		}
		if key == "imagestore" || key == "additionalimagestore" {
			stores = append(stores, strings.Split(value, ",")...)
		}
	}
	return stores
}
