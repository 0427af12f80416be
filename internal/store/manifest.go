package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// createdAt returns when an image was created, by its configuration; the epoch if
// the configuration does not say.
func createdAt(data []byte) (time.Time, error) {
	var c struct {
		Created *time.Time `json:"created"`
	}
	if err := jsonbound.Unmarshal(data, &c); err != nil {
		return time.Time{}, fmt.Errorf("not an image configuration: %w", err)
	}
	if c.Created == nil {
		return time.Unix(0, 0).UTC(), nil
	}
	if y := c.Created.Year(); y < 0 || y > 9999 {
		return time.Time{}, errors.New("its time of creation has no JSON form")
	}
	return *c.Created, nil
}
