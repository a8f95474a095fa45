// Pictures to begin with, for the models that come with the program: test images of Fashion-MNIST (Zalando SE, MIT).

const samples = [
  { label: "Ankle boot", png:
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcCAAAAABXZoBIAAABYElEQVR4nNSSPWsUURiFz3vvnZnc+crKsMkYwWixLBoklSgudkH7kMbCxjT+" +
    "AP+XYGHlL7C0CtgoKskGnXH3zqw7M/dD1oUFV9janOqFh+c072HYkKsPOQEBBuuQGG6cRMYBDY7/MS0ej04Xx85zBYi/C/X9O+PB60J+ztKv" +
    "aybT0QltJcTooCvFChIYgVu8HF/IrbGxdeun0RISHKzjBs/yi6r347ITHlg0WEIHJggGLw6/ZD05TeysI4en+NPsyFpg71h+jIOsdSFMY2o7" +
    "guDGLtT+reH1dtpLvcDuez87y35xdSAMdvejSN4Ou4ptSx3OGv98Oyzja3WeCRzt6T43WsU5BSWLeV1NdoDSykCLJ6dn54q1nJRvE5LWy3fv" +
    "+gx1OK8uxfuH90bQqigmPmXDMHWHHz4dBQ762zQhAPGD4aN+GpGzxdm7t3Pgzc3vSunm1aZ3/jcbWuV3AAAA//+SUH4ZnhHLNAAAAABJRU5E" +
    "rkJggg==" },
  { label: "Pullover", png:
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcCAAAAABXZoBIAAACHElEQVR4nGTSzWsTTxgH8O8zM7vJ5rd9/RlobaCltRJfoEVQ6FEE8SKe/Bf8" +
    "A8SD6E0Q9OJR8OBBPQkiCIpeRPBQfAEhHgSLpVpSTdNt0pBtNtnszCPbdrYU5/CwzIfnhZ1HIDsD59J46ij+OfnrldVok5mjxsazCwftbjNp" +
    "19caYWfrd63Z7b/fvaWdeOVBTTM5GswKnOjS64v7uJ4PxRiaveS/fEPoHMX+TABgd6AhiLH784O6pFYLohS3HG96vyVv1XgIvPkO+MYDN7me" +
    "XM3M5UaTX4AZt67NnT0xy0HvcXqv0nAYxsMEcBlPIlkZDwHMZpmnOYjjP4KLWObgzPZiu7G9AjvQBAidMUOjD2doozz5xud4IitbhJEqvO2c" +
    "nzs5UL7zdB7SOBmOwwjVuoHW+nHUil2wNJB6r2wRiN8Wqr86ot1W68FKxTeYsj2H4Vcf+a7nCKVY5bznAA5ZHOXCRhN9ZgZYsvsRHIkss4fw" +
    "GBICA8Q8zCCRZUrG9xmwABFB9kQdkooWlcZSCQpEAIkE1WoOvsWuhin3dz4FGY0jNScpWEwknP87Mn0ewEhc+kk8YlHnUXZ7Kh2HAImpr5Id" +
    "izFhxGMDo3WimVoLEuxZ7Ee4F3lKOUpJ5arBykto1/7bgu47weyySFeKTDJaD6AnLS4udJcO7PJ0O//Z4qdCbA6ssZNzQ4trX7rbUJr2iPSP" +
    "V0MfAPwNAAD//1aC3/bezKv+AAAAAElFTkSuQmCC" },
  { label: "Bag", png:
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcCAAAAABXZoBIAAACOklEQVR4nFySu2sUURTGv3vuY2Z2JrtrHhuTNQYNGA0YEQISFDFFRLHTxr/A" +
    "f0O0szCksrMWhVhoI1ooCCIBUSFsEYiYRjRs3GQfyc7MfchdQwh7i2Hu/M4535zzHcLRo/wjPLyyI4gsxq5nz0AODn2HAcu1l6+/3wH1IyDA" +
    "8hsAs1+uQvQzjoXPvZdrK5AHOocwxK2l3vVDay4XfbCD0Rew/sva9EGqh0wKwXnvjxiRRHcOGRhDT9rl/3NvA84hRZzA9JohH3+B+ZjJ6EBg" +
    "/MqRISw+2W2Wdn4cq65ezDUvrkXBt8XG7+7UIw4kM9PFtNkaPamKppsxPUCVbjWcir6+IuDe2zo5GeHn5r52THXKxfentM3wp07Aw7waRtI0" +
    "RAgaGUXwd3BzaJ/txfMFgbvP00mbpHl9RG25GptJVXFewVJcJoFLjxHvUCKDpq6yMcVKpaWgfXNPyPGEcKaGRDMKyxWVw5XbWFeX2UZJY1gS" +
    "AkAassYEBR5lO9JMVD79mshiFld89yegOSCdZHk83IC4sT4tskAPVAkW52H8EKFCp1vtsNWZNW3dbKEi4HAasAyMONBKUXdqW0qODFWBBgaR" +
    "xVpYZ60c0nmmBEEKrTx8ep+2DePWMsZ9aTLwfpEFE3h39sGeSCUXnOAXDxKOOV+2wIHVhXMKJBQ3qbMmz7U2xmvomm+lnuURtEGYaG+xBRxx" +
    "mMKs93Mrah/33mYbfmtY5hx1mqYzsOKhmKsUVLbb/ti/rf8CAAD//x361wPv4QVcAAAAAElFTkSuQmCC" },
];

// showSamples offers them where the chosen model knows what they are.
function showSamples() {
  const fit = chosen() && samples.every(s => chosen().labels.includes(s.label));
  $("samples").hidden = !fit;
  if (!fit || $("samples-list").children.length) return;
  $("samples-list").replaceChildren(...samples.map(({ label, png }) => {
    const bytes = Uint8Array.from(atob(png), c => c.charCodeAt(0));
    const file = new File([bytes], `${label.toLowerCase().replace(" ", "-")}.png`, { type: "image/png" });
    return make("button", { type: "button", onclick: () => add([file]) },
      make("img", { src: `data:image/png;base64,${png}`, alt: label, width: 64, height: 64 }));
  }));
}
