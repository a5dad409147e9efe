// On a narrow screen the open toolbar would cover half of the page: start with
// it hidden there, as its own "Hide" button would leave it.
if (matchMedia("(max-width: 48rem)").matches && !/(^|; )fldt=/.test(document.cookie)) {
  document.cookie = "fldt=hide; path=/; SameSite=Lax";
}
