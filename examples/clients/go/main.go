// Gets an access token with golang.org/x/oauth2/clientcredentials, as any OAuth 2 client would, and calls a service.
//
// In: BROKER_URL, SERVICE_URL, SERVICE_HOST (its Host header); and who we are: CLIENT_ID with CLIENT_SECRET, or the
// platform's own identity token in CLIENT_ASSERTION. With both, both are shown, one after the other.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	configurations := clients(os.Getenv("BROKER_URL") + "/oauth2/token")
	if len(configurations) == 0 {
		return fmt.Errorf("set CLIENT_ID and CLIENT_SECRET, or CLIENT_ASSERTION")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, configuration := range configurations {
		token, err := configuration.Token(ctx)
		if err != nil {
			return fmt.Errorf("the exchange failed: %w", err)
		}
		if err := callBothWays(ctx, token); err != nil {
			return err
		}
	}
	return nil
}

func clients(tokenURL string) []clientcredentials.Config {
	var found []clientcredentials.Config
	if id, secret := os.Getenv("CLIENT_ID"), os.Getenv("CLIENT_SECRET"); id != "" && secret != "" {
		found = append(found, clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: tokenURL})
	}
	if assertion := os.Getenv("CLIENT_ASSERTION"); assertion != "" {
		// No ClientID, no secret: the assertion says who we are. The library still tries an empty
		// `Authorization: Basic Og==` first, which the broker counts as absent.
		found = append(found, clientcredentials.Config{
			TokenURL: tokenURL,
			EndpointParams: url.Values{
				"client_assertion_type": {assertionType},
				"client_assertion":      {assertion},
			},
		})
	}
	return found
}

func callBothWays(ctx context.Context, token *oauth2.Token) error {
	if err := call(ctx, "Authorization", "Bearer "+token.AccessToken); err != nil {
		return err
	}
	return call(ctx, "X-Countersign-Auth", token.AccessToken)
}

func call(ctx context.Context, header, value string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, os.Getenv("SERVICE_URL"), nil)
	if err != nil {
		return err
	}
	if host := os.Getenv("SERVICE_HOST"); host != "" {
		request.Host = host
	}
	request.Header.Set(header, value)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the service refused %s: %s: %s", header, response.Status, body)
	}
	var seen struct{ Headers map[string]string }
	if err := json.Unmarshal(body, &seen); err != nil {
		return err
	}
	user, scopes := seen.Headers["x-countersign-user"], seen.Headers["x-countersign-scopes"]
	if user == "" || scopes == "" {
		return fmt.Errorf("the service was not told who called: %s", body)
	}
	fmt.Printf("user=%s scopes=%s\n", user, scopes)
	return nil
}
