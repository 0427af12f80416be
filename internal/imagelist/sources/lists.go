package sources

import (
	"errors"
	"fmt"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
)

// ReadLists returns the references of files of any form that ReadFile reads, and asks nobody
// else. Errors are those of all files, and of all that could not be read of their objects,
// joined. That they have no reference is an error, too.
func ReadLists(files []File) (*imagelist.List, error) {
	all := new(imagelist.List)
	var collector objects.Collector
	var failed error
	for _, f := range files {
		doc, list, err := ReadFile(f, collector.Add)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if list != nil {
			all.Merge(list)
		}
		if doc != nil && doc.Format == "" { // of no list that `nodeseal list` made: those tell their problems elsewhere
			for _, p := range doc.Problems {
				failed = errors.Join(failed, errors.New(p))
			}
		}
	}
	found := collector.Result()
	all.Merge(found.List)
	for _, p := range found.Problems {
		failed = errors.Join(failed, p)
	}
	switch {
	case failed != nil:
		return nil, failed
	case all.Len() == 0:
		return nil, fmt.Errorf("the list of images is empty")
	}
	return all, nil
}
