package rehearse

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Reached is an address outside that a unit tried to reach.
type Reached struct {
	// Unit is the systemd unit whose programs tried.
	Unit string `json:"unit"`
	// Address, Protocol and Port are where. They are empty for protocols other than TCP and UDP.
	Address  string `json:"address,omitempty"`
	Protocol string `json:"protocol,omitempty"`
	Port     int    `json:"port,omitempty"`
	// Attempts is how many packets were refused: one for each connection that was tried.
	Attempts int64 `json:"attempts"`
}

// lookup reports whether it is CRI-O's question to DNS. It asks before each pull, also
// where a mirror on the node answers, and the journal has the image. Of other programs,
// which may give up without a name, nothing else is seen.
func (r Reached) lookup() bool { return r.Unit == crio && r.Port == 53 }

type nftSet struct {
	Name string `json:"name"`
	Elem []struct {
		Elem struct {
			Val     json.RawMessage `json:"val"`
			Counter struct {
				Packets int64 `json:"packets"`
			} `json:"counter"`
		} `json:"elem"`
	} `json:"elem"`
}

// parseCounts reads what nft lists of the table, as JSON.
func parseCounts(data []byte, units []string) ([]Reached, error) {
	var list struct {
		Nftables []struct {
			Set     *nftSet `json:"set"`
			Counter *struct {
				Name    string `json:"name"`
				Packets int64  `json:"packets"`
			} `json:"counter"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("what nft lists: %w", err)
	}
	var out []Reached
	for _, item := range list.Nftables {
		switch {
		case item.Set != nil:
			found, err := ofSet(item.Set, units)
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		case item.Counter != nil && item.Counter.Packets > 0:
			if unit, ok := ofUnit(item.Counter.Name, units); ok {
				out = append(out, Reached{Unit: unit, Attempts: item.Counter.Packets})
			}
		}
	}
	return out, nil
}

func ofSet(set *nftSet, units []string) (out []Reached, err error) {
	unit, ok := ofUnit(set.Name, units)
	if !ok {
		return nil, nil
	}
	for _, e := range set.Elem {
		var val struct {
			Concat []any `json:"concat"`
		}
		if err := json.Unmarshal(e.Elem.Val, &val); err != nil || len(val.Concat) != 3 {
			return nil, fmt.Errorf("what nft lists: set %s has an element %s", set.Name, e.Elem.Val)
		}
		// nft prints numbers, and names of services where it was told to.
		port, err := strconv.Atoi(fmt.Sprint(val.Concat[2]))
		if err != nil {
			return nil, fmt.Errorf("what nft lists: set %s: port: %w", set.Name, err)
		}
		out = append(out, Reached{Unit: unit, Address: fmt.Sprint(val.Concat[0]), Protocol: fmt.Sprint(val.Concat[1]), Port: port, Attempts: e.Elem.Counter.Packets})
	}
	return out, nil
}

// ofUnit returns the unit that a set or counter of the rules belongs to.
func ofUnit(name string, units []string) (string, bool) {
	_, number, _ := strings.Cut(name, "_")
	i, err := strconv.Atoi(number)
	if err != nil || i < 1 || i > len(units) {
		return "", false
	}
	return units[i-1], true
}
