package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/file"
)

// listOptions say where the references come from.
type listOptions struct {
	images []string
}

func (o *listOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.images, "images", nil, "file with references, one a line; - is standard input; may be repeated")
}

// read returns the union of all sources.
func (o *listOptions) read(a *app) (*imagelist.List, error) {
	if len(o.images) == 0 {
		return nil, usageError{errors.New("no list of images: name one with --images")}
	}
	all := new(imagelist.List)
	var problems error
	for _, path := range o.images {
		list, err := readList(a, path)
		if err != nil {
			problems = errors.Join(problems, err)
			continue
		}
		all.Merge(list)
	}
	switch {
	case problems != nil:
		return nil, problems
	case all.Len() == 0:
		return nil, fmt.Errorf("the list of images is empty")
	}
	return all, nil
}

// readList reads one list file.
func readList(a *app, path string) (list *imagelist.List, err error) {
	r, err := a.openInput(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return file.Parse(r, path) //nolint:wrapcheck // names file and line
}
